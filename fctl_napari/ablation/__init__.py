"""The paper's ablations (Tables 3 to 6): plan, runs, results and report."""

"""Made scenes whose labels are decided far away: what a network can only know from contexts."""

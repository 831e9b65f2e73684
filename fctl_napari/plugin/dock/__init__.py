"""The FCtL dock: one header and five tabs."""

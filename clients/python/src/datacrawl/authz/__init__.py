"""The contract's packages."""

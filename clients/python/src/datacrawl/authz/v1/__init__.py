"""Generated stubs of the contract, datacrawl.authz.v1."""

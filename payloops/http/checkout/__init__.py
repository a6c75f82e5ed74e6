"""The hosted checkout: the pages on which a merchant's customer pays."""

"""HTTP edge: parse, open the transaction, call the business, ring, answer."""

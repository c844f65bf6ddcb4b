"""HTTP edge: parse, open the transaction, call the business, ring, answer."""

VERSION = "0.1.0"

"""What becomes of event rows: numbered, mirrored onto streams, kept, mended, read back."""

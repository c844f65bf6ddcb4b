"""A product feed in FakeStore's shape: twenty products of our own and their pictures."""

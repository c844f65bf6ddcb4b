"""What a subscriber with effects of its own needs: its group, its inbox, its dead letters."""

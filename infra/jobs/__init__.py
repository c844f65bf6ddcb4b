"""What is known of tasks and queues: history, what is in hand, what a person has paused."""

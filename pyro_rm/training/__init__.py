"""Training runs of any length: resumable, interruptible, on one process or many."""

"""From a training run to what it ran on, and back."""

"""What can be trained: pre-training and fine-tuning."""

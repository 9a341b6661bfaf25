"""Fine-tuning: task heads on the G2D trunk, from a configuration to a checkpoint."""

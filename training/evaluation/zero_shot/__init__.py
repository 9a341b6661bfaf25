"""Answers of a pre-training without any label: prompts compared with images and pixels."""

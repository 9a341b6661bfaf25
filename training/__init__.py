"""Training: G2D pre-training, fine-tuning of task heads, evaluation, export and publication.

YAML -> config -> data.cache (through radiograph.preprocess) -> pretrain | finetune -> checkpoint
     -> evaluation -> export (ONNX against PyTorch) -> publish -> radiograph.repository
"""

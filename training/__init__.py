"""The first floor, training side: G2D pre-training, fine-tuning, evaluation, export, publishing.

YAML -> config -> data.cache (through radiograph.preprocess) -> tasks.pretrain / tasks.finetune
     -> checkpoint -> evaluate -> export (PyTorch against ONNX) -> radiograph.repository
"""

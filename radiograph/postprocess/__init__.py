"""Post-processing: raw model outputs become findings, masks, boxes and heat maps.

heads --> activations        logits -> probabilities
      --> boxes              overlap, non-maximum suppression, bounds
      --> mask_upsampling    map on the model's grid -> mask in source pixels
"""

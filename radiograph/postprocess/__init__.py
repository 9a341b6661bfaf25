"""Post-processing: raw model outputs become findings, masks, boxes and heat maps.

heads --> activations        logits -> probabilities
      --> grounding          phrase -> found or not, peak, boxes
      --> boxes              overlap, non-maximum suppression, bounds
      --> components         islands and holes of a mask on the model's grid
      --> mask_upsampling    map on the model's grid -> mask in source pixels
      --> measurements       masks -> cardiothoracic ratio
"""

"""Foreign phrases: words for what no chest radiograph shows, so that a model learns to say no.

`TRAINED` phrases are drawn in training with an empty map. The others are never trained on: on
those in `VALIDATION` thresholds are chosen, and with those in `TEST` they are measured. No phrase
is in two of the lists, but similar things may be: a foot in one, an ankle in another.
"""

TRAINED = (
    "a photo of a bus", "a picture of a bird", "a drawing of a flower", "an apple", "an orange",
    "a guitar", "a mobile phone", "a wooden chair", "a football player", "a sunset at the beach",
    "a plate of spaghetti", "a birthday cake", "a laptop on a desk", "traffic lights", "a bridge",
    "x-ray of a hand", "finger fracture", "fracture of the radius", "MRI of the shoulder",
    "ultrasound of the liver", "CT of the abdomen", "torn meniscus", "cataract", "skin rash",
    "panoramic radiograph of the teeth", "pregnancy", "gastric ulcer", "hello", "good morning",
    "what time is it", "lorem ipsum", "the stock market", "invoice number", "a poem about spring",
)  # fmt: skip
VALIDATION = (
    "a photo of a sheep", "a strawberry", "a picture of a train", "x-ray of a foot",
    "fracture of the tibia", "MRI of the knee", "tonsillitis", "a weather forecast",
)  # fmt: skip
TEST = (
    "banana", "a photo of a cat", "a red sports car", "x-ray of an elbow", "fractured wrist",
    "MRI of the brain", "appendicitis", "a recipe for soup", "thank you very much", "a penguin",
)  # fmt: skip

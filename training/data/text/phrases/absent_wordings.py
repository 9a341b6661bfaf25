"""Further phrases for what no chest radiograph shows, by the trained phrase that they resemble.

They are learned without images: each is answered as the phrase that it resembles. The first groups
name a side, as phrases of lungs do.
"""

_LIMBS = (
    "wrist", "hand", "thumb nail", "fingers", "palm", "elbow", "forearm bones", "thigh", "knee",
    "kneecap bone", "shin", "calf", "ankle", "foot", "heel", "big toe", "toes", "hip", "hip bone",
    "femur", "femoral neck", "tibia", "fibula", "patella", "metacarpals", "metatarsals", "leg",
)  # fmt: skip
_HEAD = (
    "eye", "ear", "cheek", "temple", "jaw", "tonsil", "nostril", "parotid gland", "orbit",
    "maxillary sinus", "temporal lobe", "frontal lobe of the brain", "cerebral hemisphere",
)  # fmt: skip
_ABDOMEN = (
    "kidney", "ovary", "testicle", "adrenal gland", "ureter", "fallopian tube", "iliac bone",
    "colon", "psoas muscle", "groin", "inguinal canal", "buttock",
)  # fmt: skip
_SIDES = ("{side} {part}", "the {side} {part}", "{part} on the {side}", "{part}, {side}")


def _sided(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        form.format(side=side, part=part)
        for part in parts
        for side in ("left", "right")
        for form in _SIDES
    )


ABSENT_WORDINGS: dict[str, tuple[str, ...]] = {
    "foot": _sided(_LIMBS),
    "brain": _sided(_HEAD),
    "left kidney": _sided(_ABDOMEN),
    "wrist fracture": (
        "broken wrist", "broken finger", "sprained knee", "torn ligament of the knee",
        "hip fracture", "fractured femur", "fractured tibia", "dislocated hip",
        "fracture of the pelvis", "gout", "osteoarthritis of the hip", "fractured skull",
        "broken jaw", "plaster cast of the arm",
    ),
    "CT of the abdomen": (
        "CT of the head", "CT slice of the liver", "knee MRI", "MRI of the pelvis",
        "MRI of the hip", "MR angiography of the brain", "ultrasound of the kidney",
        "ultrasound of a baby", "mammography", "pelvic x-ray", "x-ray of the pelvis",
        "x-ray of the skull", "x-ray of a knee", "dental radiograph", "PET scan of the brain",
        "spine MRI", "endoscopy image", "gastroscopy", "fundus photograph", "histology slide",
        "cytology", "electrocardiogram trace", "ECG strip", "aorta on abdominal CT",
        "liver cyst on CT", "spleen on CT", "bone scan", "barium enema",
    ),
    "pancreas": (
        "liver tumour", "spleen rupture", "stomach ulcer", "bowel loop", "duodenum", "jejunum",
        "urinary tract", "urethra", "uterus with fetus", "cervix", "placenta", "ovarian mass",
        "bile duct", "gall stones", "hernia of the groin", "abdominal aorta aneurysm",
        "sigmoid colon", "caecum", "bladder tumour", "prostate cancer", "kidney failure",
    ),
    "teeth": (
        "molar tooth", "tooth decay", "wisdom tooth", "gums", "tongue", "dental implant",
        "orthodontic braces", "root canal", "lower jaw", "lip", "milk teeth", "denture",
    ),
    "a dog": (
        "dog", "cat", "kitten", "a small cat", "horse", "cow", "a parrot", "goldfish", "snake",
        "a lion", "mouse", "hamster", "insects", "a bee", "chicken", "a whale", "wolf", "a frog",
        "lung of a fish in a book", "heart of a frog",
    ),
    "pizza": (
        "soup", "cup of tea", "cake", "cheese", "a glass of milk", "sandwich", "an ice cream",
        "salad", "chocolate", "coffee", "a bottle of beer", "rice and beans", "heart-shaped cake",
    ),
    "a car": (
        "car", "truck", "train", "bus", "ship", "a plane", "tram", "scooter", "tractor", "rocket",
        "steering wheel", "bus ticket", "train schedule", "road sign", "right turn sign",
        "left lane of the road", "petrol station", "traffic jam", "driving licence",
    ),
    "a computer keyboard": (
        "hammer", "screw", "pliers", "a pair of scissors", "lamp", "wrist watch", "umbrella", "pen",
        "notebook", "phone", "telephone", "television", "camera", "table", "chair", "sofa",
        "window", "door key", "key ring", "mug", "bottle", "spoon", "hat", "shoe", "left shoe",
        "right glove", "right hand of a clock", "piano", "drum", "trumpet", "ball", "toy",
        "passport",
    ),
    "the sky": (
        "moon", "sun", "rain", "snow", "river", "forest", "desert", "garden", "red rose", "sea",
        "island", "sunset", "a park", "swimming pool", "street lamp", "castle", "church", "school",
        "airport", "restaurant", "left bank of the river", "right side of the street",
    ),
    "a poem about spring": (
        "poem", "song", "a novel", "recipe", "love letter", "shopping list", "contract", "news",
        "homework", "timetable", "calendar", "bank account", "price list", "tax", "radio programme",
        "musical notes", "musical score", "film", "joke", "my name is Anna", "how are you",
        "good night", "see you tomorrow", "what is the weather", "thanks a lot", "yes", "no",
        "test", "asdf", "12345", "heart of gold", "breath of fresh air", "right answer",
        "left behind",
    ),
}  # fmt: skip
"""Trained phrase -> phrases that are answered in the same way."""

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
    "foot": (
        *_sided(_LIMBS),
        "right foot", "right ankle", "queen of hearts", "artichoke hearts", "heartwood of an oak",
        "heart of the city", "fluid mechanics homework", "shadow puppet", "shadow cabinet",
        "paper-cut silhouette portrait", "football field", "field hockey", "cardigan", "wishbone",
        "base of the mountain", "lead pipe", "drainpipe", "fingernail", "index finger", "pinky toe",
        "bone scan of the feet", "doppler of the leg veins", "pierogi", "candle", "Eiffel tower",
    ),
    "brain": (
        *_sided(_HEAD),
        "right thigh", "right tibia", "right testicle", "right eye", "right nostril",
        "right frontal lobe", "left hemisphere of the brain", "right cerebellum", "human rights",
        "that's right, thank you", "bright right headlight", "right wing of the football team",
        "correction fluid", "magnetic field", "ear lobe", "occipital lobe", "opacity: 0.5;",
        "breast stroke swimming", "wire fence", "central station", "pubic symphysis", "acetabulum",
        "ischium", "radial head", "olecranon", "brain", "nasal septum", "eyeball", "optic nerve",
        "cochlea", "hippocampus", "corpus callosum", "EEG waveform", "hysterosalpingogram",
        "knee MRI", "CT head", "butterfly", "boiled egg", "wall clock", "frying pan",
        "import numpy as np", "asdfghjkl", "zxcvb nmmm",
    ),
    "left kidney": (
        *_sided(_ABDOMEN),
        "left hand", "left knee joint", "left big toe", "left calf muscle", "left femur",
        "left fibula", "left heel spur", "left kidney", "right kidney stone", "left ovary",
        "left ureter", "left ear", "left eyebrow", "left temporal bone", "left-wing politics",
        "turn left at the traffic lights", "she left early", "left luggage office", "left shoe",
        "left mouse button", "keep left", "left join in SQL", "left bank of the Seine",
        "water infiltration in soil", "bronchus of a horse at endoscopy",
        "mediastinal? no, medieval castle", "London underground tube map", "urinary bladder",
        "renal pelvis",
    ),
    "wrist fracture": (
        "broken wrist", "broken finger", "sprained knee", "torn ligament of the knee",
        "hip fracture", "fractured femur", "fractured tibia", "dislocated hip",
        "fracture of the pelvis", "gout", "osteoarthritis of the hip", "fractured skull",
        "broken jaw", "plaster cast of the arm", "left wrist fracture", "right hip replacement",
        "heart of palm salad", "broken heart song", "brake fluid", "collapse of a bridge",
        "sacroiliac joint", "meniscus tear of the knee", "Achilles tendon", "metatarsal fracture",
        "carpal tunnel", "elbow joint effusion", "hand x-ray for bone age", "violin",
        "see you on Monday", "¿dónde está la biblioteca?",
    ),
    "CT of the abdomen": (
        "CT of the head", "CT slice of the liver", "knee MRI", "MRI of the pelvis",
        "MRI of the hip", "MR angiography of the brain", "ultrasound of the kidney",
        "ultrasound of a baby", "mammography", "pelvic x-ray", "x-ray of the pelvis",
        "x-ray of the skull", "x-ray of a knee", "dental radiograph", "PET scan of the brain",
        "spine MRI", "endoscopy image", "gastroscopy", "fundus photograph", "histology slide",
        "cytology", "electrocardiogram trace", "ECG strip", "aorta on abdominal CT",
        "liver cyst on CT", "spleen on CT", "bone scan", "barium enema", "right fallopian tube",
        "lunge exercise", "mass transit", "sigmoid colon", "rectum", "caecum", "cerebrum",
        "abdominal aortic aneurysm on CT",
    ),
    "pancreas": (
        "liver tumour", "spleen rupture", "stomach ulcer", "bowel loop", "duodenum", "jejunum",
        "urinary tract", "urethra", "uterus with fetus", "cervix", "placenta", "ovarian mass",
        "bile duct", "gall stones", "hernia of the groin", "abdominal aorta aneurysm",
        "sigmoid colon", "caecum", "bladder tumour", "prostate cancer", "kidney failure",
        "pancreas", "ileum", "inguinal hernia", "scaphoid", "pituitary gland", "placenta",
        "ultrasound of the womb", "ECG tracing", "histology slide", "barium enema", "goldfish",
        "giraffe", "kitchen sink", "guten Morgen", "git commit -m fix",
    ),
    "teeth": (
        "molar tooth", "tooth decay", "wisdom tooth", "gums", "tongue", "dental implant",
        "orthodontic braces", "root canal", "lower jaw", "lip", "milk teeth", "denture",
        "copyright notice", "sweetheart", "calf's lights at the butcher",
        "root nodules of a bean plant", "treasure chest", "clip art", "cervix", "anal canal",
        "iliac crest", "wisdom tooth", "molar", "tongue", "maxillary sinus",
        "dental panoramic film", "blood smear under the microscope", "toothbrush",
        "my password does not work", "xyzzy", "wibble",
    ),
    "a dog": (
        "dog", "cat", "kitten", "a small cat", "horse", "cow", "a parrot", "goldfish", "snake",
        "a lion", "mouse", "hamster", "insects", "a bee", "chicken", "a whale", "wolf", "a frog",
        "lung of a fish in a book", "heart of a frog", "heart-shaped balloon", "lungfish",
        "lungwort plant", "lungworm in a dog", "air conditioner", "effusive praise",
        "PET scan of the pelvis", "golden retriever", "tabby cat", "elephant", "sparrow",
        "hedgehog", "horse stable", "chocolate cake", "samosa", "teddy bear", "<div class=\"box\">",
    ),
    "pizza": (
        "soup", "cup of tea", "cake", "cheese", "a glass of milk", "sandwich", "an ice cream",
        "salad", "chocolate", "coffee", "a bottle of beer", "rice and beans", "heart-shaped cake",
        "right patella", "right-handed scissors", "left over pizza", "right angle triangle",
        "right-click menu", "heart emoji", "mass times acceleration", "Sunday mass at church",
        "mass of an electron", "Massachusetts", "lobe of a maple leaf", "an effusion of lava",
        "cardio workout", "angle grinder", "valve of a bicycle tyre", "lead guitarist",
        "pacemaker in a marathon race", "coccyx", "circle of Willis", "octopus", "crocodile",
        "sunflower", "cactus", "mushroom", "spaghetti carbonara", "cheese sandwich", "paella",
        "Bratwurst", "croissant", "baklava", "train to Krakow", "beach in Spain", "Jupiter",
        "what time is dinner", "invoice number 4471", "bonjour madame", "buongiorno", "qwertz",
    ),
    "a car": (
        "car", "truck", "train", "bus", "ship", "a plane", "tram", "scooter", "tractor", "rocket",
        "steering wheel", "bus ticket", "train schedule", "road sign", "right turn sign",
        "left lane of the road", "petrol station", "traffic jam", "driving licence",
        "field trip permission", "collapsible chair", "vessel sailing to Rotterdam", "appendix",
        "plantar fascia", "fetus at twenty weeks", "umbilical cord", "dermoscopy of a mole",
        "honey bee", "rose bush", "bicycle", "fire engine", "tractor", "sailing boat",
        "Volkswagen beetle", "space shuttle", "tennis racket", "Istanbul bazaar",
        "supermarket car park", "happy birthday", "where did you park", "the bus is late again",
        "how much does it cost", "order a taxi", "merhaba", "colourless green ideas",
    ),
    "a computer keyboard": (
        "hammer", "screw", "pliers", "a pair of scissors", "lamp", "wrist watch", "umbrella", "pen",
        "notebook", "phone", "telephone", "television", "camera", "table", "chair", "sofa",
        "window", "door key", "key ring", "mug", "bottle", "spoon", "hat", "shoe", "left shoe",
        "right glove", "right hand of a clock", "piano", "drum", "trumpet", "ball", "toy",
        "passport", "input field on a web form", "manganese nodule on the sea bed",
        "nodule on the vocal cord at laryngoscopy", "stock market collapse", "bronze statue",
        "marker pen", "tube station", "eardrum", "hair follicle",
        "mammogram with microcalcifications", "cup of coffee", "laptop computer", "I lost my keys",
        "printf(\"hello\")", "1234567890",
    ),
    "the sky": (
        "moon", "sun", "rain", "snow", "river", "forest", "desert", "garden", "red rose", "sea",
        "island", "sunset", "a park", "swimming pool", "street lamp", "castle", "church", "school",
        "airport", "restaurant", "left bank of the river", "right side of the street",
        "right of way", "right glove", "hearth and chimney", "air mattress", "air ticket to Lisbon",
        "hot air balloon", "airport shuttle", "air guitar", "airmail envelope",
        "eye shadow palette", "five o'clock shadow", "shadow of a tree on the lawn",
        "silhouette of a skyline", "silhouette of a dancing couple",
        "infiltration of the enemy lines", "consolidation loan", "ribbed sweater",
        "spine of a book", "apex predator", "oak tree", "helicopter", "umbrella", "Himalaya",
        "rainbow", "please call me back tomorrow", "it is raining outside", "namaste",
        "for i in range(10):", "SELECT * FROM users",
    ),
    "a poem about spring": (
        "poem", "song", "a novel", "recipe", "love letter", "shopping list", "contract", "news",
        "homework", "timetable", "calendar", "bank account", "price list", "tax", "radio programme",
        "musical notes", "musical score", "film", "joke", "my name is Anna", "how are you",
        "good night", "see you tomorrow", "what is the weather", "thanks a lot", "yes", "no",
        "test", "asdf", "12345", "heart of gold", "breath of fresh air", "right answer",
        "left behind", "learn the poem by heart", "windscreen washer fluid", "gender-fluid",
        "wheat field", "diaphragm of a camera lens", "spirometry curve", "lorem ipsum dolor",
        "flurble grontz",
    ),
}  # fmt: skip
"""Trained phrase -> phrases that are answered in the same way."""

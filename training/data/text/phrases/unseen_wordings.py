"""Wordings that nothing is trained on, to choose by and to measure with.

`DEVELOPMENT` holds four retired sets: thresholds, settings and runs are chosen by it. `HELD_OUT` is
the fifth set. It is used for measurement only: no template, weight, threshold or run is chosen by
it. Its writer knew the templates and what the fourth set had shown, but no answer to the fifth; it
was complete before the wordings of `training.data.text.phrases.paraphrases` were written. Spelling
mistakes in it are meant.
"""

DEVELOPMENT: dict[str, tuple[str, ...]] = {
    "left lung": (
        "left-hand lung of this patient", "lung, left side",
        "the lung at the left", "L lung",
        "the patient's left hemithorax", "lung on the patient's left side",
        "please outline the whole left lung", "pulmo sinister", "box around the pt's left lung",
        "left pulmonary parenchyma", "the lung, left",
        "show me the entire lung on the patient's left",
        "left pulmonary lobes", "upper and lower lobes on the left",
        "entire left lung from apex to diaphragm", "lung with the lingula", "left lung silhouette",
        "left lung including its retrocardiac part", "left air space",
        "lung below the left clavicle",
    ),
    "right lung": (
        "right-hand lung of this patient", "lung, right side",
        "the lung at the right", "R lung",
        "the patient's right hemithorax", "lung on the patient's right side",
        "please outline the whole right lung", "pulmo dexter", "box around the pt's right lung",
        "right pulmonary parenchyma", "the lung, right",
        "show me the entire lung on the patient's right",
        "right pulmonary lobes", "upper, middle and lower lobes on the right",
        "entire right lung from apex to diaphragm", "lung with the horizontal fissure",
        "right lung silhouette", "right lung down to the dome of the liver", "right air space",
        "lung below the right clavicle",
    ),
    "heart": (
        "the cardiac shadow", "outline of the heart",
        "the heart shadow", "outline the cardiac shadow", "where is the heart?", "cor",
        "cardiac outline", "borders of the heart", "transverse heart shadow",
        "cardiopericardial silhouette", "size and shape of the heart", "the heart on this PA film",
    ),
    "pneumonia": ("infective consolidation", "pneumonic change", "airspace infection"),
    "lung opacity": ("ill-defined density", "airspace opacification", "area of opacification"),
    "infiltration": ("infiltrative shadowing", "ill-defined infiltrates"),
    "atelectasis": ("collapsed lung segment", "discoid atelectatic band", "lobar volume reduction"),
    "pleural effusion": (
        "pleural collection", "fluid layering in the costophrenic recess",
        "obliterated costophrenic angle",
    ),
    "cardiomegaly": (
        "increased cardiothoracic ratio", "dilated heart", "heart shadow is broadened",
    ),
    "lung mass": (
        "space-occupying lesion of the lung", "large focal lung lesion", "tumour shadow",
    ),
    "lung nodule": ("solitary round density", "small focal lung lesion", "rounded nodular shadow"),
    "pneumothorax": (
        "free pleural air with absent lung markings", "visceral pleural edge", "ptx",
    ),
    "absent": (
        "a fractured hip", "the kidneys", "cerebral cortex", "a rabbit", "a motorcycle",
        "an ankle sprain", "the stomach on endoscopy", "jaw bone",
        "left kneecap", "the patient's urinary bladder", "where is the prostate?", "femoral head",
        "right ankle joint", "axial CT slice of the brain", "fetal ultrasound",
        "mammogram of the right breast", "coffee mug", "car keys", "show me the pituitary gland",
        "laptop keyboard",
        "left wrist", "gallbladder", "cranial vault", "right femoral shaft", "a tabby kitten",
        "bus timetable", "abdominal aorta on CT", "tooth root", "MR of the cervical cord",
        "sheet music", "screwdriver", "cystoscopy image",
    ),
}  # fmt: skip
HELD_OUT: dict[str, tuple[str, ...]] = {
    "left lung": (
        "lung of left side", "left lungfield", "pt's L lung, all of it", "pulmo sin.",
        "air-containing lung to the left of the heart", "bilobed lung",
        "lung with the cardiac notch", "lung over the gastric air bubble",
        "left lung, every lobe", "which area is lung on the patient's left?",
    ),
    "right lung": (
        "lung of right side", "right lungfield", "pt's R lung, all of it", "pulmo dext.",
        "air-containing lung to the right of the heart", "trilobed lung",
        "lung with a middle lobe", "lung over the hepatic dome",
        "right lung, every lobe", "which area is lung on the patient's right?",
    ),
    "heart": (
        "silhouette of heart", "hart shadow", "trace the heart's borders please",
        "atria and ventricles", "organ that pumps the blood", "cardiac shape in the mid chest",
        "umbra cordis", "pericardial sac with the heart", "cardiac area on PA view",
        "the patients heart",
    ),
    "pneumonia": (
        "PNA", "pneumonia patch", "chest infection on xray", "infected area of the lung",
        "infective infiltrate", "CAP changes", "bronchopneumonic change", "pnuemonia",
        "suspected pneumonia focus",
    ),
    "lung opacity": (
        "white patch on the lung", "hazy shadow", "grey area over the lung", "cloudy lung",
        "opacified region of lung", "pulmonary density", "abnormal whitening of the lung field",
        "ground glass haze", "lung shaddow",
    ),
    "infiltration": (
        "infiltrative process", "infiltrated lung area", "patchy infiltrations",
        "alveolar infiltrate", "infiltratio pulmonis", "infiltrate visible here?",
        "interstitial infiltration of the lung", "lung infiltrat",
    ),
    "atelectasis": (
        "atelectatic segment", "plate atelectasis", "lung not expanded fully",
        "partial lung collapse", "collapsed basal lung", "subsegmental atelectatic streak",
        "loss of aeration", "atelektasis", "dystelectasis", "band of collapse",
    ),
    "pleural effusion": (
        "fluid on the lung", "water around the lungs", "blunting of the CP angle",
        "effusion with fluid level", "pleural efusion", "meniscus sign of fluid",
        "pleural fluid collection", "effusio pleuralis", "layering pleural fluid",
        "fluid in the chest cavity",
    ),
    "cardiomegaly": (
        "heart too large", "CTR above 50 percent", "cor bovinum", "heart looks big",
        "enlarged cardiac shadow", "cardiac silhouette widened", "heart enlargment",
        "globally enlarged heart",
    ),
    "lung mass": (
        "big lump in the lung", "tumor in lung", "bulky pulmonary lesion", "neoplastic mass",
        "bronchial carcinoma", "suspicious lung mass", "tumor pulmonis", "mass over 3 cm",
        "cancer in the lung",
    ),
    "lung nodule": (
        "small spot on the lung", "pulmonary coin lesion", "little nodule", "SPN",
        "tiny round shadow in the lung", "nodulus pulmonis", "lung nodul", "nodular density",
        "granuloma-like nodule",
    ),
    "pneumothorax": (
        "pneumo", "air leak around the lung", "free air in the pleural cavity",
        "lung edge with no markings beyond", "pleural air rim", "pneumotorax",
        "gas between lung and chest wall", "lung has dropped", "tension pneumothorax",
    ),
    "absent": (
        "left hip joint", "urinary catheter bag", "toe x-ray", "dental crown",
        "MRI of the lumbar spine", "uterine fibroid", "ankle fracture", "parking lot",
        "a violin", "bowl of noodles", "dawn over a lake", "tax form", "bladder ultrasound",
        "right forearm", "left eyeball", "skull base", "colonoscopy picture", "puppy",
        "railway station", "right thumb",
    ),
}  # fmt: skip

"""Phrases for what a chest radiograph may show and the model does not locate.

Bones, vessels, devices and markers are learned without images: each is answered as a device that no
image has the place of, and thus as not found, rather than with a lung or the heart.
"""

ELSEWHERE_WORDINGS: dict[str, tuple[str, ...]] = {
    "pacemaker": (
        "Schlüsselbein", "Rippenfraktur", "companion shadow of the clavicle", "pacemaker",
        "pacemaker box left upper chest", "pacing leads", "defibrillator lead coil",
        "thymus sail sign",
    ),
    "central venous catheter": (
        "subcutaneous emphysema", "central line", "port-a-cath", "Swan-Ganz catheter",
        "pigtail catheter", "superior vena cava", "azygos vein", "main pulmonary artery",
        "left clavicle", "left axilla", "left pulmonary artery", "great vessels",
        "left subclavian artery",
    ),
    "endotracheal tube": (
        "left mainstem bronchus", "costal cartilage calcification", "left scapula", "PICC tip",
        "intercostal drain left", "left hilum", "apical pleural cap", "left hilar region",
    ),
    "nasogastric tube": (
        "acromion", "gastric bubble", "ETT tip", "nasogastric tube", "sonda nasogástrica",
        "swallowed coin in the oesophagus", "right axilla",
    ),
    "chest tube": (
        "tracheal bifurcation", "first rib", "right posterior ribs", "left lower ribs",
        "free air under the diaphragm", "soft tissues of the chest wall", "breathing tube",
        "tracheostomy tube", "CVC via right internal jugular", "NG tube below the diaphragm",
        "feeding tube", "chest drain", "thoracostomy tube right", "oxygen tubing over the chest",
        "Hilus", "right paratracheal stripe", "earring", "ribs", "the ribs", "rib cage",
        "thoracic cage", "chest wall", "left chest wall", "right chest wall", "left ribs",
        "right ribs", "hila", "pulmonary vessels",
    ),
    "surgical clips": (
        "right clavicula", "curved spine", "right shoulder blade", "omóplato", "skin fold",
        "implantable loop recorder", "surgical clips", "axillary clips", "bullet fragment",
        "right hilar shadow", "letter L marker", "film side label", "posterior ribs",
        "anterior ribs", "clavicles", "both clavicles", "soft tissues of the chest",
    ),
    "sternotomy wires": (
        "sternoclavicular joint", "spinous processes", "spinal fusion rods", "glenoid", "sternum",
        "breastbone", "liver shadow", "bowel loops below the diaphragm", "breast shadow",
        "left breast outline", "nipple shadow", "surgical emphysema of the neck", "sternal wires",
        "sternotomy cerclage", "necklace", "shirt button", "left shoulder", "right shoulder",
        "left breast", "right breast",
    ),
    "prosthetic heart valve": (
        "carina", "proximal humerus fracture", "shoulder prosthesis",
        "stomach gas under the left dome", "Magenblase", "pneumoperitoneum",
        "subdiaphragmatic free gas", "intra-aortic balloon pump marker", "prosthetic heart valve",
        "mechanical aortic valve ring", "coronary stent", "aortic knob", "Aortenknopf",
        "bouton aortique", "unfolded aorta", "descending thoracic aorta",
        "right pulmonary artery descending branch", "esophagus", "cardiophrenic fat pad",
        "pleural plaque calcification", "aorta", "thoracic aorta",
    ),
    "orthopedic hardware": (
        "clavicle", "left collarbone", "fractured left clavicle", "acromioclavicular joint right",
        "rib cage bones", "rib fracture", "broken rib on the right",
        "old healed rib fractures left", "vertebral compression fracture", "scoliosis",
        "dorsal kyphosis", "pedicle screws in the thoracic spine", "shoulder joint left",
        "right glenohumeral joint", "dislocated left shoulder", "right humeral head",
        "upper arm bone, left", "manubrium", "pectus excavatum", "Chilaiditi sign",
        "breast implant", "Herzschrittmacher", "ECG electrodes", "TAVI frame", "aortic arch",
        "oesophagus", "retrosternal goitre", "R side marker", "patient name tag on the image",
        "bony thorax", "collar bones", "left collar bone", "right collar bone", "left scapula bone",
        "right scapula", "left humerus", "right humerus", "skeleton of the chest", "bones",
        "left rib fracture", "right rib fracture", "fracture of the left clavicle",
        "fracture of the right clavicle",
    ),
}  # fmt: skip
"""Trained phrase -> phrases that are answered in the same way."""

"""Names and units of what the judges tell of a face; imports no torch, so that options can be checked at once."""

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
PROBABILITY, YEARS = "probability", "years"
JUDGED = {**dict.fromkeys(EXPRESSIONS, PROBABILITY), "age": YEARS, "gender": PROBABILITY}  # gender: of male
DEGREES, DISTANCES, RATIO = "degrees", "eye distances", "ratio"
LIGHT = "light"  # from the left of the picture
SCALES = {  # measured, not judged: landmark measures in the order of `inversion.faces.measures`, then the light
    "eyes-open": RATIO, "brows": DISTANCES, "mouth-open": DISTANCES, "mouth-width": DISTANCES,
    "mouth-corners": DISTANCES, "yaw": DEGREES, "pitch": DEGREES, "roll": DEGREES, LIGHT: RATIO,
}  # fmt: skip
UNITS = JUDGED | SCALES

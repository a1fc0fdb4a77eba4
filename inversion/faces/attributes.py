"""Names and units of what the judges tell of a face; imports no torch, so that options can be checked at once."""

EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
PROBABILITY, YEARS = "probability", "years"
UNITS = {**dict.fromkeys(EXPRESSIONS, PROBABILITY), "age": YEARS, "gender": PROBABILITY}  # gender: of male

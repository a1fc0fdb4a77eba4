"""Find, align, judge and paste back faces."""

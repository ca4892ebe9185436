"""Settings that every kind of test shares."""

import os

# A lab draws a still instead of sliders: see bertlib.view.lab.
os.environ["BERTLIB_STATIC"] = "1"

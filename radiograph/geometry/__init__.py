"""Where pixels are: turned upright, behind a shutter, on the square grid of the model.

geometry --> orientation   how stored pixels are turned so that the patient stands upright
shutter                    the part of an image that a display shows
"""

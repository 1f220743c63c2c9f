"""The scoring script of the image workload, and the reading of images that the others share with it."""

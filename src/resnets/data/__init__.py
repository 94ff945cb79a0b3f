"""From a source of images to batches on a device. This floor and `models` never meet."""

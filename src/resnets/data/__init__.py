"""From a source of pictures to batches on a device. This floor and `models` never meet."""

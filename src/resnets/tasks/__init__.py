"""What a network is trained for: the loss, the predictions and the metrics. Tasks join networks and data."""

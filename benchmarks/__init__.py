"""What simplexity's speed is, measured against how such training loops are usually written."""

"""Speed: ``python -m benchmarks`` beside other clients, ``python -m benchmarks.parse`` of the HTTP/1.1 core alone."""

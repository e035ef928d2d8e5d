"""Speed and quality beside RecBole and the libraries one might pick instead; `make bench` runs it all."""

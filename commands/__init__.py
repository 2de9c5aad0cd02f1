"""What the command line offers; train.py is its entry."""

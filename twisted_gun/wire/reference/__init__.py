"""The same protocols on the libraries of others: chosen by option, and what tests hold our own cores against."""

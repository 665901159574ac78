"""The results of a run: the page with the picture of the machine and the criteria, the receipt."""

"""The inbox: events of processors, from the signature to their effect on orders."""

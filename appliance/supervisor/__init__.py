"""The control loop: it keeps exactly the wanted engines running."""

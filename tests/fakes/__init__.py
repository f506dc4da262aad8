"""Hand-written fakes of the appliance's real edges."""

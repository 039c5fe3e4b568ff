"""Other ways to run the same program: differentiated, in half precision, captured, profiled."""

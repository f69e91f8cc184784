"""What people look at: a study's laws and plan as a table, figures and one HTML page."""

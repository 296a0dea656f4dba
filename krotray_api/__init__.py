"""Flask: a request in, an answer out. The business is in krotray_core; here it is only asked."""

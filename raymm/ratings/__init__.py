"""What is known of ratings before any network: tables, biases, response styles, factors, histories."""

"""What people type in: WTForms draws it, the API's models decide what is valid."""

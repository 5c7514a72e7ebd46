"""What every part uses and what knows no part: errors, files, records, models, the text around a prompt."""

output "greeting" { value = "good morning" }

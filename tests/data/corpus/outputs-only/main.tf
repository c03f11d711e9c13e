output "greeting" { value = "good evening" }

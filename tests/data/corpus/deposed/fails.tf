resource "terraform_data" "one" {
  triggers_replace = "2"
  lifecycle { create_before_destroy = true }
}

resource "terraform_data" "two" {
  triggers_replace = terraform_data.one.id

  provisioner "local-exec" {
    command = "false"
  }
}

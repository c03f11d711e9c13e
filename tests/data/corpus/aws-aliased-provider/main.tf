terraform {
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      configuration_aliases = [aws.elsewhere]
    }
  }
}

resource "aws_nat_gateway" "here" {
  subnet_id         = "subnet-0aaaaaaaaaaaaaaa1"
  connectivity_type = "private"
}

resource "aws_nat_gateway" "elsewhere" {
  provider          = aws.elsewhere
  subnet_id         = "subnet-0aaaaaaaaaaaaaaa2"
  connectivity_type = "private"
}

resource "aws_instance" "bastion" {
  ami           = "ami-0aaaaaaaaaaaaaaa1"
  instance_type = "t3.medium"

  root_block_device {
    volume_size = 30
  }
}

resource "aws_launch_template" "workers" {
  name          = "workers"
  image_id      = "ami-0aaaaaaaaaaaaaaa1"
  instance_type = "m5.large"
}

resource "aws_autoscaling_group" "workers" {
  name               = "workers"
  availability_zones = ["us-east-1a"]
  min_size           = 1
  max_size           = 5

  mixed_instances_policy {
    launch_template {
      launch_template_specification {
        launch_template_name = aws_launch_template.workers.name
        version              = "$Latest"
      }
      override { instance_type = "m5.xlarge" }
      override { instance_type = "m5.2xlarge" }
    }
    instances_distribution {
      on_demand_percentage_above_base_capacity = 0
    }
  }
}
